-- A session as it stands.
-- KEYS  person, session, session clients, cutoffs
-- ARGV  none
-- Returns {} | {session fields, client fields}; a session cut off by a revocation reads as ended from that one on, or from
--         its expiry when that came first, whether or not anything has been tidied since
local person, session, clients, cutoffs = unpack(KEYS)
local fields = fields_of(session)
if not fields.stamp then return {} end
local flat = redis.call('HGETALL', session)
local stamp = tonumber(fields.stamp)
if not fields.ended_at_ms and is_cut_off(person, fields, stamp, false) then
  local at = math.huge
  if stamp <= number_at(person, 'revoked_through') then
    local first = redis.call('ZRANGEBYSCORE', cutoffs, fields.stamp, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    at = tonumber(first[2]) or number_at(person, 'revoked_at_ms')
  end
  for _, cut in pairs(cuts_of(person)) do
    if covers(cut, beginning_of(fields)) then at = math.min(at, cut.at_ms) end
  end
  table.insert(flat, 'ended_at_ms')
  table.insert(flat, whole(math.min(at, tonumber(fields.expires_at_ms))))
end
return {flat, redis.call('HGETALL', clients)}
