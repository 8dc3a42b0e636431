-- Spend a refresh token, and put its successor in its place. One that is spent twice is told, and nothing is changed then: its
-- family ends with the revocation that is recorded of it (RFC 9700 section 4.14.2), and not before anybody can see why.
-- KEYS  person, session, session tokens, family, family tokens, token, successor
-- ARGV  now_ms, client_id, token hash, successor hash, successor's refresh_token_id, keep_until_ms, grace_ms
-- Returns {'rotated', successor fields} | {'invalid'} | {'exists'} when there is such a successor already |
--         {'reused', token fields} until its family has ended, {'invalid'} from then on

-- Most successors of one token: so often a client may have lost the answer. More is somebody who has found it.
local MOST_SUCCESSORS = 5

local person_key, session_key, session_tokens, family, family_tokens, token_key, successor_key = unpack(KEYS)
local now, hash, new_hash = tonumber(ARGV[1]), ARGV[3], ARGV[4]
local token, successor = fields_of(token_key), fields_of(successor_key)
if token.client_id ~= ARGV[2] then return {'invalid'} end
local reused = {'reused', redis.call('HGETALL', token_key)}
local rotated_at = tonumber(token.rotated_at_ms or false)

if redis.call('HEXISTS', family, 'ended_by') == 1 then return {'invalid'} end

-- Of a spent token it is asked whether its family may live yet.
if rotated_at then token.rotated_at_ms, token.expires_at_ms = nil, token.family_expires_at_ms end
if not token_is_active(person_key, fields_of(session_key), token, now) then return {'invalid'} end

if rotated_at then
  -- The same request again: whoever names the successor has had it from the first answer, or given it.
  if successor.rotated_from == hash and not successor.rotated_at_ms then
    return {'rotated', redis.call('HGETALL', successor_key)}
  end
  -- The clocks of two machines differ, so a retry may seem to come before what it repeats.
  local in_grace = math.abs(now - rotated_at) < tonumber(ARGV[7])
  -- Once a successor has been spent the first answer has arrived, and nobody honest retries.
  if not in_grace or token.succeeded == '1' or tonumber(token.successors) >= MOST_SUCCESSORS then return reused end
end
local parent = token.rotated_from and person_key .. ':token:' .. token.rotated_from
-- Another successor of the same token has been spent: two holders, and one of them has found it.
if parent and not rotated_at and redis.call('HGET', parent, 'succeeded') == '1' then return reused end
if successor.stamp then return {'exists'} end

local expires_at = tonumber(token.family_expires_at_ms)
if token.idle_ms then expires_at = math.min(expires_at, now + tonumber(token.idle_ms)) end
for _, name in ipairs({
  'stamp', 'session_id', 'connection_id', 'client_id', 'sub', 'scope', 'offline', 'family_id', 'family_expires_at_ms', 'idle_ms',
}) do
  if token[name] then redis.call('HSET', successor_key, name, token[name]) end
end
redis.call('HSET', successor_key, 'refresh_token_id', ARGV[5], 'issued_at_ms', ARGV[1], 'expires_at_ms', whole(expires_at),
  'rotated_from', hash)
redis.call('HSETNX', token_key, 'rotated_at_ms', ARGV[1])
redis.call('HINCRBY', token_key, 'successors', 1)
if parent and redis.call('EXISTS', parent) == 1 then redis.call('HSET', parent, 'succeeded', '1') end

-- Session and family list what may be honoured: a revocation has no more to go through than that, however often was rotated.
-- What was spent stays to be recognised for as long as anything of the family can live. First added, then removed: a set that
-- becomes empty loses its lifetime.
for _, set in ipairs({session_tokens, family_tokens}) do
  redis.call('SADD', set, new_hash)
  redis.call('SREM', set, hash)
end
redis.call('PEXPIREAT', successor_key, ARGV[6])
return {'rotated', redis.call('HGETALL', successor_key)}
