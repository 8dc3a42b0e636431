-- A sign-in: register the person, refuse what began before their last revocation, give the session its stamp.
-- KEYS  person, identifiers, sessions, session, session clients, ended-sids, participation, its untils, its counts, participation-lost
-- ARGV  now_ms, auth_time_ms or '', session_id, expires_at_ms, keep_until_ms,
--       json {connection_id, iss, sub, audit_salt}, json {identifier, …}, json {session field = value},
--       json {{client_id, participation field, client json, participation json}, …}
-- Returns 'opened' | 'opened_anew' (the person had been erased a moment ago) | 'reauthenticate'
-- Longer than any request takes, and any two clocks are apart.
local ERASED_A_MOMENT_MS = 600000
local person, identifiers, sessions, session, clients, ended_sids = unpack(KEYS)
local participation = {unpack(KEYS, 7)}
local now, auth_time, id = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local expires_at, keep_until = ARGV[4], ARGV[5]
-- Whoever erased them may have taken away the names that this sign-in was registered under.
local erased_at = number_at(person, 'erased_at_ms')
local opened = erased_at > now - ERASED_A_MOMENT_MS and 'opened_anew' or 'opened'
-- The same sign-in sent again after a lost reply.
if redis.call('EXISTS', session) == 1 then return opened end

local revoked_at = number_at(person, 'revoked_at_ms')
if auth_time and revoked_at > 0 and auth_time <= revoked_at then return 'reauthenticate' end
local facts = cjson.decode(ARGV[8])
local function logged_out_since(at) return auth_time and at and auth_time <= tonumber(at) end
local of_the_session = not facts.upstream_sid and redis.call('HGET', person, 'logged_out_without_sid_ms')
  or facts.upstream_sid and redis.call('ZSCORE', ended_sids, facts.upstream_sid)
if logged_out_since(redis.call('HGET', person, 'logged_out_through_ms')) or logged_out_since(of_the_session) then
  return 'reauthenticate'
end

for field, value in pairs(cjson.decode(ARGV[6])) do redis.call('HSETNX', person, field, value) end
redis.call('HSETNX', person, 'created_at_ms', ARGV[1])
for _, each in ipairs(cjson.decode(ARGV[7])) do redis.call('SADD', identifiers, each) end

local stamp = math.max(now, number_at(person, 'clock') + 1)
redis.call('HSET', person, 'clock', whole(stamp))

redis.call('HSET', session, 'stamp', whole(stamp), 'expires_at_ms', expires_at, 'keep_until_ms', keep_until)
for field, value in pairs(facts) do redis.call('HSET', session, field, value) end
redis.call('PEXPIREAT', session, keep_until)
redis.call('ZREMRANGEBYSCORE', sessions, '-inf', '(' .. ARGV[1])
redis.call('ZADD', sessions, keep_until, id)
for _, each in ipairs(cjson.decode(ARGV[9])) do
  local entry = cjson.decode(each[4])
  for name, value in pairs(beginning_of(facts)) do entry[name] = value end
  entry.stamp = stamp
  redis.call('HSET', clients, each[1], each[3])
  remember(participation, each[2], entry, now)
end
redis.call('PEXPIREAT', clients, keep_until)
if erased_at > 0 then redis.call('PERSIST', person) end
return opened
