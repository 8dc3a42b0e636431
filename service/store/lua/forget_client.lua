-- Forget whether a removed application can be told; what waits for it is looked at now, and found to be owed to nobody.
-- KEYS  due, backlog, health, states, removed
-- ARGV  client_id, entry, removed_ms: how long attempts that are under way may still be reported
-- Returns how many wait
local due, backlog, health, states, removed = unpack(KEYS)
redis.call('SET', removed, '1', 'PX', ARGV[3])
redis.call('DEL', health)
redis.call('HDEL', states, ARGV[1])
local count = redis.call('ZCARD', backlog)
if count > 0 then redis.call('ZADD', due, 'LT', 0, ARGV[2]) end
return count
