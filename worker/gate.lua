-- Admit calls. KEYS: (rate key, own cap key, shared cap key, ramp key) per call. ARGV: cap lease s, cap retry s, longest
-- cap wait s, hold s, ramp calls, ramp s, then per call: seconds per call (0 = no limit), burst allowance s, own and
-- shared in-flight cap (0 = none), token, 1 if it was held back before, seconds since its target answers again (-1 = no
-- matter).
-- Answers seconds to wait: who waits at most `hold` seconds is admitted, and makes its call then; who waits longer asks
-- again then.
--
-- Rate: the generic cell rate algorithm. `due` is the first moment that no admitted call has. Those that are not
-- admitted stand in line behind it and get moments one after another, so that they come back evenly and not all at
-- once; whoever is new goes to the end of the line, whoever comes back is before it.
--
-- Cap: places that are taken and freed. Who finds none is told a moment by the line before it and by how long places are
-- held ('held', an average that leave.lua keeps); whoever is new goes to the end of the line, and gets no free place
-- before those who wait.
--
-- Ramp: a target that answers again gets its n-th call not before log2(1 + (n - 1) / ramp calls) seconds have passed:
-- twice as many from second to second.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local cap_lease, cap_retry, cap_longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local hold, ramp_calls, ramp_s = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local SETTINGS, KEYS_EACH, ARGS_EACH = 6, 4, 7
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

-- How long a call has to wait for a place under a cap; 0 = there is one.
local function by_cap(key, cap, came_back)
  if cap == 0 then return 0 end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - cap_lease)
  local line_key = key .. ':line'
  local line = number(line_key, 'line', 0)
  local is_free = redis.call('ZCARD', key) < cap
  if is_free and (came_back or line <= now + cap_retry + EPSILON) then return 0 end
  local step = number(line_key, 'held', cap_retry) / cap
  local wait
  if came_back then
    again[key] = (again[key] or 0) + 1
    wait = cap_retry + (again[key] - 1) * step
  else
    line = math.min(math.max(line + step, now + cap_retry), now + cap_longest)
    set(line_key, 'line', line)
    wait = line - now
  end
  return math.min(math.max(wait, hold + LONGER), cap_longest)
end

local function take_place(key, cap, token)
  if cap == 0 then return end
  redis.call('ZADD', key, now, token)
  redis.call('PEXPIRE', key, math.ceil(cap_lease * 1000))
end

local function admit(call)
  local key, at = KEYS_EACH * (call - 1), SETTINGS + ARGS_EACH * (call - 1)
  local rate_key, own_key, shared_key, ramp_key = KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], KEYS[key + 4]
  local interval, burst = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local own_cap, shared_cap = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local token, came_back, since = ARGV[at + 5], ARGV[at + 6] == '1', tonumber(ARGV[at + 7])
  local moment, ramp_at, own, due, gone = now, now, true, nil, nil

  local full = by_cap(own_key, own_cap, came_back)
  if full == 0 then full = by_cap(shared_key, shared_cap, came_back) end
  if full > 0 then return full end
  if since >= 0 then ramp_at, own, gone = by_ramp(ramp_key, now - since, came_back) end
  if own and interval > 0 then moment, own, due = by_rate(rate_key, interval, burst - interval, came_back) end
  moment = math.max(moment, ramp_at)
  if not own then
    if hold > 0 then moment = math.floor(moment / lead - 1) * lead end  -- neighbours come back together
    return math.max(moment - now, hold + LONGER)
  end
  if due then set(rate_key, 'due', due) end
  if gone then set(ramp_key, 'gone', gone) end
  take_place(own_key, own_cap, token)
  take_place(shared_key, shared_cap, token)
  return math.min(moment - now, hold)
end

local answers = {}
for call = 1, #KEYS / KEYS_EACH do answers[call] = tostring(admit(call)) end
return answers
