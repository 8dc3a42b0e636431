-- Keep what a held connection asks for. O(people of this request).
-- KEYS  hold, held, held people (of one connection)
-- ARGV  most requests kept, most people of all these, revocation_id, request as JSON, user_id …
-- Returns 1 | 0 when it is not kept: the hold has ended meanwhile, or there are too many
local hold, held, held_people = unpack(KEYS)
local id = ARGV[3]
if redis.call('EXISTS', hold) == 0 then return 0 end
if redis.call('HEXISTS', held, id) == 1 then return 1 end
-- By the sum, and not by how many are different: each request is kept with all its people.
if redis.call('HLEN', held) >= tonumber(ARGV[1])
  or number_at(hold, 'people_kept') + #ARGV - 4 > tonumber(ARGV[2]) then
  redis.call('HINCRBY', hold, 'not_kept', 1)
  return 0
end
redis.call('HSET', held, id, ARGV[4])
redis.call('HINCRBY', hold, 'people_kept', #ARGV - 4)
for place = 5, #ARGV do redis.call('SADD', held_people, ARGV[place]) end
return 1
