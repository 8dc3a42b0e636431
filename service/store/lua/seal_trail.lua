-- Append a seal, if nothing was appended and no seal was set since what it seals was read.
-- KEYS  trail, seal
-- ARGV  id of the last entry it seals, id of the seal before or '', seal, entry as json
-- Returns 1 | 0 when something was, and it must be read too
local trail, seal = unpack(KEYS)
local last = redis.call('XREVRANGE', trail, '+', '-', 'COUNT', 1)[1]
if not last or last[1] ~= ARGV[1] then return 0 end
if (redis.call('HGET', seal, 'id') or '') ~= ARGV[2] then return 0 end
local id = redis.call('XADD', trail, '*', 'entry', ARGV[4])
redis.call('HSET', seal, 'id', id, 'seal', ARGV[3])
return 1
