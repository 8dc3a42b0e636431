-- Another application joins a session that is honoured.
-- KEYS  person, participation, session, session clients
-- ARGV  now_ms, client_id, participation field, client json, participation json, participation_until_ms
-- Returns 'joined' | 'inactive' | the json it joined with before, when that differs
local person, participation, session, clients = unpack(KEYS)
local now, until_ms = tonumber(ARGV[1]), tonumber(ARGV[6])
local fields = fields_of(session)
if not session_is_active(fields_of(person), fields, now) then return 'inactive' end
local before = redis.call('HGET', clients, ARGV[2])
if before and before ~= ARGV[4] then return before end
local entry = cjson.decode(ARGV[5])
entry.stamp = tonumber(fields.stamp)
redis.call('HSET', clients, ARGV[2], ARGV[4])
redis.call('PEXPIREAT', clients, fields.keep_until_ms)
redis.call('HSET', participation, ARGV[3], cjson.encode(entry))
if redis.call('PTTL', participation) < until_ms - now then redis.call('PEXPIREAT', participation, whole(until_ms)) end
return 'joined'
