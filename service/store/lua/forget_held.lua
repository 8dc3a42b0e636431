-- A held request is in force: it is kept no more.
-- KEYS  hold, held (of one connection)
-- ARGV  revocation_id, how many people it is about
-- Returns 1 | 0 when it was not kept (any more)
local hold, held = unpack(KEYS)
if redis.call('HDEL', held, ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', hold, 'people_kept', -tonumber(ARGV[2]))
return 1
