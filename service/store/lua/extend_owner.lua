-- Let a pointer live at least until a moment.
-- KEYS  pointer
-- ARGV  keep_until_ms
-- Returns 1 when it was extended
local at = redis.call('TIME')
local left = tonumber(ARGV[1]) - (at[1] * 1000 + math.floor(at[2] / 1000))
if redis.call('PTTL', KEYS[1]) >= left then return 0 end
return redis.call('PEXPIREAT', KEYS[1], ARGV[1])
