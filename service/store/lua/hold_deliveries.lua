-- Move deliveries of one application from the due index to its backlog, for which the index has one entry from then on.
-- What kept them back may be over by now, and whoever ended it found nothing here to have looked at.
-- KEYS  due, backlog, backlogs, health
-- ARGV  client_id, entry, look_at_ms, look_if_free_ms ('': look_at_ms), crowded ('1'), score of each, its delivery_id, …
-- Returns how many wait now
local due, backlog, backlogs, health = unpack(KEYS)
for i = 6, #ARGV, 2 do
  redis.call('ZADD', backlog, ARGV[i], ARGV[i + 1])
  redis.call('ZREM', due, ARGV[i + 1])
end
local known, look_at = fields_of(health), tonumber(ARGV[3])
if ARGV[4] ~= '' and not known.paused_at_ms then
  local free = math.max(tonumber(ARGV[4]), tonumber(known.rest_until_ms or false) or 0)
  if known.opened_at_ms then
    free = math.max(free, tonumber(known.next_probe_at_ms or false) or 0, tonumber(known.probing_until_ms or false) or 0)
  end
  look_at = math.min(look_at, free)
end
redis.call('ZADD', due, 'LT', whole(look_at), ARGV[2])
local count = redis.call('ZCARD', backlog)
redis.call('ZADD', backlogs, count, ARGV[1])
redis.call('HSET', health, 'waiting', '1')
if ARGV[5] == '1' then redis.call('HSET', health, 'crowded', '1') end
return count
