-- A session as it stands.
-- KEYS  person, session, session clients, cutoffs
-- ARGV  none
-- Returns {} | {session fields, client fields}; a session cut off by a revocation reads as ended from that one on, or from
--         its expiry when that came first, whether or not anything has been tidied since
local person, session, clients, cutoffs = unpack(KEYS)
local fields = fields_of(session)
if not fields.stamp then return {} end
local flat = redis.call('HGETALL', session)
if not fields.ended_at_ms and tonumber(fields.stamp) <= number_at(person, 'revoked_through') then
  local first = redis.call('ZRANGEBYSCORE', cutoffs, fields.stamp, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local at = tonumber(first[2]) or number_at(person, 'revoked_at_ms')
  table.insert(flat, 'ended_at_ms')
  table.insert(flat, whole(math.min(at, tonumber(fields.expires_at_ms))))
end
return {flat, redis.call('HGETALL', clients)}
