-- End one refresh token with all it was rotated from and into. No session ends.
-- KEYS  person, revocations, session, session tokens, family, family tokens
-- ARGV  revocation_id or '' when there is no receipt, now_ms, accepted_at_ms, forget_before_ms
-- Returns 1 | 0 when the family was forgotten or had ended before
local person, revocations, session, tokens, family, family_tokens = unpack(KEYS)
local id = ARGV[1]
if id ~= '' then
  redis.call('ZADD', revocations, ARGV[3], id)
  redis.call('ZREMRANGEBYSCORE', revocations, '-inf', '(' .. ARGV[4])
end
return end_family({person, session, tokens, family, family_tokens}, id, tonumber(ARGV[2]))
