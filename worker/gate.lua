-- Admit calls. KEYS: (rate key, cap key) per call. ARGV: cap lease s, cap retry s, then per call:
-- seconds per call (0 = no limit), burst allowance s, in-flight cap (0 = none), token. Answers seconds to wait, 0 = go.
--
-- Rate: the generic cell rate algorithm. A key holds the time at which the next call is due if all went evenly. Those
-- that must wait get turns one after another ("line"), so that they come back evenly and not all at once.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local cap_lease, cap_retry = tonumber(ARGV[1]), tonumber(ARGV[2])
local answers = {}

for call = 1, #KEYS / 2 do
  local rate_key, cap_key = KEYS[2 * call - 1], KEYS[2 * call]
  local interval = tonumber(ARGV[4 * call - 1])
  local burst = tonumber(ARGV[4 * call])
  local cap = tonumber(ARGV[4 * call + 1])
  local token = ARGV[4 * call + 2]
  local wait = 0

  if cap > 0 then
    redis.call('ZREMRANGEBYSCORE', cap_key, '-inf', now - cap_lease)
    if redis.call('ZCARD', cap_key) >= cap then wait = cap_retry end
  end
  if wait == 0 and interval > 0 then
    local due = math.max(tonumber(redis.call('HGET', rate_key, 'due') or now), now)
    if due - now > burst - interval + 0.000001 then
      local line = math.max(tonumber(redis.call('HGET', rate_key, 'line') or 0), due - burst) + interval
      redis.call('HSET', rate_key, 'line', string.format('%.6f', line))
      wait = math.max(line - now, interval)
    else
      redis.call('HSET', rate_key, 'due', string.format('%.6f', due + interval))
    end
    redis.call('PEXPIRE', rate_key, 3600000)
  end
  if wait == 0 and cap > 0 then
    redis.call('ZADD', cap_key, now, token)
    redis.call('PEXPIRE', cap_key, math.ceil(cap_lease * 1000))
  end
  answers[call] = tostring(wait)
end
return answers
