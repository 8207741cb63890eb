-- A call under a cap ended. KEYS: cap key. ARGV: token, how much of the average the newest counts.
-- How long its place was held tells those who wait how soon to come back.
local entered = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not entered then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
local clock = redis.call('TIME')
local held = tonumber(clock[1]) + tonumber(clock[2]) / 1000000 - tonumber(entered)
local line_key, newest = KEYS[1] .. ':line', tonumber(ARGV[2])
local before = tonumber(redis.call('HGET', line_key, 'held') or held)
redis.call('HSET', line_key, 'held', string.format('%.6f', before + (held - before) * newest))
redis.call('PEXPIRE', line_key, 3600000)
return 1
