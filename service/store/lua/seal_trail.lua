-- Append a seal and drop what is too old, if nothing was appended and no seal was set since what it seals was read.
-- KEYS  trail, seal
-- ARGV  id of the last entry it was made for, id of the seal before or '', its own id, its text,
--       id of the first entry that is kept or '' where all are
-- Returns 1 | 0 when something was, and it must be made anew | -1 when another seal was set: this one is not needed
local trail, seal = unpack(KEYS)
-- Also when it is this very one, sent again after a lost reply: two workers may make the same in one millisecond.
if (redis.call('HGET', seal, 'id') or '') ~= ARGV[2] then return -1 end
local last = redis.call('XREVRANGE', trail, '+', '-', 'COUNT', 1)[1]
if not last or last[1] ~= ARGV[1] then return 0 end
redis.call('XADD', trail, ARGV[3], 'entry', ARGV[4])
if ARGV[5] ~= '' then redis.call('XTRIM', trail, 'MINID', ARGV[5]) end
redis.call('HSET', seal, 'id', ARGV[3], 'entry', ARGV[4])
return 1
