-- A refresh token for an application that is in an active session. It inherits the session's stamp.
-- KEYS  person, sessions, session, session clients, session tokens, token
-- ARGV  now_ms, client_id, token hash, session_id, keep_until_ms, json {token field = value}
-- Returns 'issued' | 'inactive' | 'not_in_session' | 'exists'
local person, sessions, session, clients, tokens, token = unpack(KEYS)
local now, keep_until = tonumber(ARGV[1]), tonumber(ARGV[5])
local fields = fields_of(session)
if not session_is_active(fields_of(person), fields, now) then return 'inactive' end
local client = redis.call('HGET', clients, ARGV[2])
if not client then return 'not_in_session' end
local given = cjson.decode(ARGV[6])
local known = redis.call('HGET', token, 'refresh_token_id')
if known then return known == given.refresh_token_id and 'issued' or 'exists' end
redis.call('HSET', token, 'stamp', fields.stamp, 'sub', cjson.decode(client).sub)
for field, value in pairs(given) do redis.call('HSET', token, field, value) end
redis.call('PEXPIREAT', token, ARGV[5])
redis.call('SADD', tokens, ARGV[3])
-- The session's own record stays as long as the last of its tokens, so that a revocation finds and counts them all.
local keep = math.max(keep_until, tonumber(fields.keep_until_ms))
redis.call('HSET', session, 'keep_until_ms', whole(keep))
for _, key in ipairs({session, clients, tokens}) do redis.call('PEXPIREAT', key, whole(keep)) end
redis.call('ZADD', sessions, whole(keep), ARGV[4])
return 'issued'
