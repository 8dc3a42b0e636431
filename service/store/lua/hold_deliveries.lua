-- Move deliveries of one application from the due index to its backlog, for which the index has one entry from then on.
-- KEYS  due, backlog, backlogs, health
-- ARGV  client_id, entry, look_at_ms, crowded ('1'), score of each, its delivery_id, …
-- Returns how many wait now
local due, backlog, backlogs, health = unpack(KEYS)
for i = 5, #ARGV, 2 do
  redis.call('ZADD', backlog, ARGV[i], ARGV[i + 1])
  redis.call('ZREM', due, ARGV[i + 1])
end
redis.call('ZADD', due, 'LT', ARGV[3], ARGV[2])
local count = redis.call('ZCARD', backlog)
redis.call('ZADD', backlogs, count, ARGV[1])
redis.call('HSET', health, 'waiting', '1')
if ARGV[4] == '1' then redis.call('HSET', health, 'crowded', '1') end
return count
