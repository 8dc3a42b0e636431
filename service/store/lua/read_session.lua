-- A session as it stands.
-- KEYS  person, session, session clients
-- ARGV  none
-- Returns {} | {session fields, client fields}; a session cut off by a revocation reads as ended from that moment,
--         whether or not anything has been tidied since
local person, session = fields_of(KEYS[1]), fields_of(KEYS[2])
if not session.stamp then return {} end
local flat = redis.call('HGETALL', KEYS[2])
if not session.ended_at_ms and tonumber(session.stamp) <= (tonumber(person.revoked_through) or 0) then
  table.insert(flat, 'ended_at_ms')
  table.insert(flat, person.revoked_at_ms)
end
return {flat, redis.call('HGETALL', KEYS[3])}
