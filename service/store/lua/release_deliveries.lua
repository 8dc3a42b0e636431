-- Let deliveries go from a backlog to the due index, and say when to look at the backlog again: unless somebody has asked for
-- another time since this look began.
-- KEYS  due, backlog, backlogs, health
-- ARGV  client_id, entry, hidden_until_ms, next_look_ms, due_at_ms, released, delivery_id, …
-- Returns how many wait still
local due, backlog, backlogs, health = unpack(KEYS)
for i = 7, #ARGV do
  if redis.call('ZREM', backlog, ARGV[i]) == 1 then redis.call('ZADD', due, ARGV[5], ARGV[i]) end
end
local count = redis.call('ZCARD', backlog)
if count == 0 then
  redis.call('ZREM', due, ARGV[2])
  redis.call('ZREM', backlogs, ARGV[1])
  redis.call('HDEL', health, 'waiting', 'crowded', 'released')
  return 0
end
redis.call('ZADD', backlogs, count, ARGV[1])
redis.call('HSET', health, 'waiting', '1', 'released', ARGV[6])
redis.call('HDEL', health, 'crowded')
local planned = redis.call('ZSCORE', due, ARGV[2])
if not planned or tonumber(planned) == tonumber(ARGV[3]) then redis.call('ZADD', due, ARGV[4], ARGV[2]) end
return count
