-- What a refresh token stands for, if it is honoured: the check every use of a token makes.
-- KEYS  person, session, token
-- ARGV  now_ms
-- Returns {} | token fields
local token = fields_of(KEYS[3])
if not token_is_active(KEYS[1], fields_of(KEYS[2]), token, tonumber(ARGV[1])) then return {} end
return redis.call('HGETALL', KEYS[3])
