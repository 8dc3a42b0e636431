-- An attempt that was to find out whether an application is back was not sent: another delivery may find out.
-- KEYS  due, backlog, health
-- ARGV  entry, attempt, look_at_ms: by when to look at what waits
-- Returns 1 | 0 when that was not up to this attempt (any more)
local due, backlog, health = unpack(KEYS)
if redis.call('HGET', health, 'probe') ~= ARGV[2] then return 0 end
redis.call('HDEL', health, 'probe', 'probing_until_ms')
if redis.call('EXISTS', backlog) == 1 then redis.call('ZADD', due, 'LT', ARGV[3], ARGV[1]) end
return 1
