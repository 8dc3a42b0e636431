-- Let an upstream `sid` name a person, at least until a moment: both or neither, or the name would stay for ever.
-- KEYS  upstream-sid
-- ARGV  user_id, keep_until_ms
-- Returns 1 | 0 when it named them before
local is_new = redis.call('SADD', KEYS[1], ARGV[1])
local at = redis.call('TIME')
local left = tonumber(ARGV[2]) - (at[1] * 1000 + math.floor(at[2] / 1000))
if redis.call('PTTL', KEYS[1]) < left then redis.call('PEXPIREAT', KEYS[1], ARGV[2]) end
return is_new
