-- Admit calls. KEYS: (rate key, cap key, ramp key) per call. ARGV: cap lease s, cap retry s, hold s, ramp calls,
-- ramp s, then per call: seconds per call (0 = no limit), burst allowance s, in-flight cap (0 = none), token,
-- 1 if it was held back before, seconds since its target answers again (-1 = no matter).
-- Answers seconds to wait: who waits at most `hold` seconds is admitted, and makes its call then; who waits longer asks
-- again then.
--
-- Rate: the generic cell rate algorithm. `due` is the first moment that no admitted call has. Those that are not
-- admitted stand in line behind it and get moments one after another, so that they come back evenly and not all at
-- once; whoever is new goes to the end of the line, whoever comes back is before it.
--
-- Ramp: a target that answers again gets its n-th call not before log2(1 + (n - 1) / ramp calls) seconds have passed:
-- twice as many from second to second.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local cap_lease, cap_retry, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local ramp_calls, ramp_s = tonumber(ARGV[4]), tonumber(ARGV[5])
local lead = hold / 2  -- so much earlier than its moment a call comes back
local again = {}  -- by key, how many came back in this batch and must wait once more
local EPSILON, LONGER = 0.000001, 0.001

local function number(key, field, default)
  return tonumber(redis.call('HGET', key, field) or default)
end

local function set(key, field, value)
  redis.call('HSET', key, field, string.format('%.6f', value))
  redis.call('PEXPIRE', key, 3600000)
end

-- The place behind all that were admitted; behind the line too for who is new. Counted in `step`s from `due`.
local function place_in_line(key, due, step, came_back)
  if came_back then
    again[key] = (again[key] or 0) + 1
    return due + (again[key] - 1) * step
  end
  local line = math.max(number(key, 'line', 0), due) + step
  set(key, 'line', line)
  return line - step
end

local function has_line(key, due)
  return number(key, 'line', 0) > due + EPSILON
end

-- When a call of a target may be made by its rate: moment, and whether that moment can be its own.
local function by_rate(key, interval, allowance, came_back)
  local due = math.max(number(key, 'due', now), now)
  local own = due - allowance - now <= hold + EPSILON and (came_back or hold == 0 or not has_line(key, due))
  local slot = own and due or place_in_line(key, due, interval, came_back)
  return math.max(slot - allowance, now), own, due + interval
end

local function ramp_moment(started, n)
  return started + math.min(math.log(1 + n / ramp_calls) / math.log(2), ramp_s)
end

-- The same by the ramp of a target that answers again since `started`.
local function by_ramp(key, started, came_back)
  if math.abs(number(key, 'started', 0) - started) > 1 then
    redis.call('DEL', key)
    set(key, 'started', started)
  end
  started = number(key, 'started', 0)
  local gone = number(key, 'gone', 0)
  local moment = ramp_moment(started, gone)
  local own = moment - now <= hold + EPSILON
  if not own then moment = ramp_moment(started, place_in_line(key, gone, 1, came_back)) end
  return math.max(moment, now), own, gone + 1
end

local function admit(call)
  local rate_key, cap_key, ramp_key = KEYS[3 * call - 2], KEYS[3 * call - 1], KEYS[3 * call]
  local at = 5 + 6 * (call - 1)
  local interval, burst, cap = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local token, came_back, since = ARGV[at + 4], ARGV[at + 5] == '1', tonumber(ARGV[at + 6])
  local moment, ramp_at, own, due, gone = now, now, true, nil, nil

  if cap > 0 then
    redis.call('ZREMRANGEBYSCORE', cap_key, '-inf', now - cap_lease)
    if redis.call('ZCARD', cap_key) >= cap then return math.max(cap_retry, hold + LONGER) end
  end
  if since >= 0 then ramp_at, own, gone = by_ramp(ramp_key, now - since, came_back) end
  if own and interval > 0 then moment, own, due = by_rate(rate_key, interval, burst - interval, came_back) end
  moment = math.max(moment, ramp_at)
  if not own then
    if hold > 0 then moment = math.floor(moment / lead - 1) * lead end  -- neighbours come back together
    return math.max(moment - now, hold + LONGER)
  end
  if due then set(rate_key, 'due', due) end
  if gone then set(ramp_key, 'gone', gone) end
  if cap > 0 then
    redis.call('ZADD', cap_key, now, token)
    redis.call('PEXPIRE', cap_key, math.ceil(cap_lease * 1000))
  end
  return math.min(moment - now, hold)
end

local answers = {}
for call = 1, #KEYS / 3 do answers[call] = tostring(admit(call)) end
return answers
