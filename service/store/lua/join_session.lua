-- Another application joins a session that is honoured.
-- KEYS  person, session, session clients, participation, its untils, its counts, participation-lost
-- ARGV  now_ms, client_id, participation field, client json, participation json
-- Returns 'joined' | 'inactive' | the json it joined with before, when that differs
local person, session, clients = unpack(KEYS)
local now = tonumber(ARGV[1])
local fields = fields_of(session)
if not session_is_active(person, fields, now) then return 'inactive' end
local before = redis.call('HGET', clients, ARGV[2])
if before and before ~= ARGV[4] then return before end
local entry = cjson.decode(ARGV[5])
for name, value in pairs(beginning_of(fields)) do entry[name] = value end
redis.call('HSET', clients, ARGV[2], ARGV[4])
redis.call('PEXPIREAT', clients, fields.keep_until_ms)
remember({unpack(KEYS, 4)}, ARGV[3], entry, now)
return 'joined'
