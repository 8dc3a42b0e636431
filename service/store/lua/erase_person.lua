-- Forget who somebody is, unless they have signed in since everything of theirs was revoked, which stays so.
-- KEYS  person, identifiers
-- ARGV  now_ms, keep_until_ms
-- Returns 'erased' | 'changed'
local person, identifiers = unpack(KEYS)
-- Each sign-in takes a stamp past all that was revoked.
if number_at(person, 'clock') > number_at(person, 'revoked_through') then return 'changed' end
redis.call('HDEL', person, 'connection_id', 'iss', 'sub', 'created_at_ms', 'audit_salt')
redis.call('HSET', person, 'erased_at_ms', ARGV[1], 'erased_through', whole(number_at(person, 'clock')))
redis.call('PEXPIREAT', person, ARGV[2])
redis.call('DEL', identifiers)
return 'erased'
