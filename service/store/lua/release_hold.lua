-- End a connection's hold and begin to count anew, unless something is kept that is not to be forgotten.
-- KEYS  people, hold, held, held people (of one connection)
-- ARGV  discard ('1': forget what is kept)
-- Returns {how many requests are kept still; 0 once the hold is ended, how many were forgotten}
local people, hold, held, held_people = unpack(KEYS)
local left = redis.call('HLEN', held)
if left > 0 and ARGV[1] ~= '1' then return {left, 0} end
redis.call('DEL', people, hold, held, held_people)
return {0, left}
