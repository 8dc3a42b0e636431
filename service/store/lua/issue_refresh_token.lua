-- A refresh token for an application that is in an active session, the first of its family. It inherits the session's stamp.
-- KEYS  person, sessions, session, session clients, session tokens, token, family, family tokens, participation, its untils,
--       its counts, participation-lost
-- ARGV  now_ms, client_id, token hash, session_id, keep_until_ms, json {token field = value},
--       participation field, participation_until_ms
-- Returns 'issued' | 'inactive' | 'not_in_session' | 'exists'
local person, sessions, session, clients, tokens, token, family, family_tokens, participation = unpack(KEYS)
local now, keep_until = tonumber(ARGV[1]), tonumber(ARGV[5])
local fields = fields_of(session)
if not session_is_active(person, fields, now) then return 'inactive' end
local client = redis.call('HGET', clients, ARGV[2])
if not client then return 'not_in_session' end
local given = cjson.decode(ARGV[6])
local known = redis.call('HGET', token, 'refresh_token_id')
if known then return known == given.refresh_token_id and 'issued' or 'exists' end
redis.call('HSET', token, 'stamp', fields.stamp, 'sub', cjson.decode(client).sub)
for field, value in pairs(given) do redis.call('HSET', token, field, value) end
redis.call('SADD', tokens, ARGV[3])
redis.call('HSET', family, 'expires_at_ms', given.family_expires_at_ms)
redis.call('SADD', family_tokens, ARGV[3])
for _, key in ipairs({token, family, family_tokens}) do redis.call('PEXPIREAT', key, ARGV[5]) end
-- The session's own record stays as long as the last of its tokens, so that a revocation finds and counts them all.
local keep = math.max(keep_until, tonumber(fields.keep_until_ms))
redis.call('HSET', session, 'keep_until_ms', whole(keep))
for _, key in ipairs({session, clients, tokens}) do redis.call('PEXPIREAT', key, whole(keep)) end
redis.call('ZADD', sessions, whole(keep), ARGV[4])
-- And the application is told for as long as it can hold something: an offline token outlives the session.
local until_ms, raw = tonumber(ARGV[8]), redis.call('HGET', participation, ARGV[7])
local entry = raw and cjson.decode(raw) or {sub = cjson.decode(client).sub, session_id = ARGV[4], until_ms = 0}
local ends = tonumber(given.family_expires_at_ms)
local outlives = given.offline == '1' and ends > (entry.offline_until_ms or 0)
if outlives then entry.offline_until_ms = ends end
if outlives or until_ms > entry.until_ms then
  entry.until_ms = math.max(until_ms, entry.until_ms)
  for name, value in pairs(beginning_of(fields)) do entry[name] = value end
  remember({unpack(KEYS, 9)}, ARGV[7], entry, now)
end
return 'issued'
