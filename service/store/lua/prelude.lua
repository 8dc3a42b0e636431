-- Shared by every script: placed before each of them.

-- A number as Redis should store it: Lua would write 1.8e+12.
local function whole(number) return string.format('%.0f', number) end

local function number_at(key, field) return tonumber(redis.call('HGET', key, field) or false) or 0 end

-- A hash as a table of its fields.
local function fields_of(key)
  local flat, fields = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

-- Most entries remembered of what one application may hold of one person. Whoever signs in to it more often than this
-- within the time an entry lives is a machine; the next entry then takes the place of its oldest, never of another's.
local MOST_PARTICIPATION = 1000

-- `keys`: the person's participation, participation-until, participation-counts and participation-lost.
local function forget_entry(keys, field)
  redis.call('ZREM', keys[2], field)
  if redis.call('HDEL', keys[1], field) == 0 then return 0 end
  redis.call('HINCRBY', keys[3], cjson.decode(field)[1], -1)
  return 1
end

-- Forget an entry that may still be held, for want of room, and remember that there was one: of an application and `sub` the
-- lowest stamp, for as long as what was forgotten might have lived.
local function displace_entry(keys, field, now)
  local lost, raw = keys[4], redis.call('HGET', keys[1], field)
  forget_entry(keys, field)
  local entry = raw and cjson.decode(raw)
  if not entry or entry.until_ms <= now then return end
  local name = cjson.encode({cjson.decode(field)[1], entry.sub})
  local lowest = tonumber(redis.call('HGET', lost, name) or false)
  if not lowest or entry.stamp < lowest then redis.call('HSET', lost, name, whole(entry.stamp)) end
  if redis.call('PTTL', lost) < entry.until_ms - now then redis.call('PEXPIREAT', lost, whole(entry.until_ms)) end
end

-- Remember an application's part in a session until a moment; forget what is past its time, a few at a time: no sign-in
-- pays for more than it adds.
local function remember(keys, field, entry, now)
  local participation, untils, counts = unpack(keys)
  local client = cjson.decode(field)[1]
  local is_new = redis.call('HSET', participation, field, cjson.encode(entry)) == 1
  redis.call('ZADD', untils, whole(entry.until_ms), field)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', untils, '-inf', whole(now), 'LIMIT', 0, 4)) do
    forget_entry(keys, old)
  end
  if is_new and redis.call('HINCRBY', counts, client, 1) > MOST_PARTICIPATION then
    for _, old in ipairs(redis.call('ZRANGE', untils, 0, -1)) do
      if old ~= field and cjson.decode(old)[1] == client then
        displace_entry(keys, old, now)
        break
      end
    end
  end
  for _, key in ipairs({participation, untils, counts}) do
    if redis.call('PTTL', key) < entry.until_ms - now then redis.call('PEXPIREAT', key, whole(entry.until_ms)) end
  end
end

-- What a partial cut-off asks of a session, given as fields, and of what is remembered of its applications: its stamp, its
-- upstream `sid`, when it began, and whether that is by the identity provider's clock (`dated`) or the second it was reported.
local function beginning_of(session)
  local reported = tonumber(session.created_at_ms) or 0
  local authenticated = tonumber(session.auth_time or false)
  return {
    stamp = tonumber(session.stamp),
    begun_ms = authenticated and authenticated * 1000 or reported - reported % 1000,
    dated = authenticated ~= nil,
    upstream_sid = session.upstream_sid,
  }
end

-- Whether a partial cut-off covers it.
local function covers(cut, it)
  if it.stamp > cut.through then return false end
  local named = cut.sid ~= nil and it.upstream_sid == cut.sid
  -- What a message names by its own `sid` that has come at once is meant, however our clock stands to the identity provider's.
  -- Only by that one's own clock, when the message is late, or when it was kept and this came after it, can it be another
  -- session of that name, begun since.
  local meant = named and not it.dated and cut.prompt and it.stamp <= (cut.arrived_ms or it.stamp)
  if it.begun_ms > cut.begun_by_ms and not meant then return false end
  return not cut.sid or named or (cut.or_without_sid and not it.upstream_sid)
end

-- The partial cut-offs of a person that nobody has tidied up after yet: {revocation_id = cut}.
local function cuts_of(person)
  local cuts = fields_of(person .. ':logouts')
  for id, raw in pairs(cuts) do cuts[id] = cjson.decode(raw) end
  return cuts
end

-- Whether a revocation has cut a session of this person off, or what is `offline` of it. Order, not clocks, decides what
-- that covers: each sign-in takes the next stamp of its person, each revocation cuts through every stamp given out so far.
-- Only a message that says when it was sent is held against the time a session began as well.
local function is_cut_off(person, session, stamp, offline)
  if stamp <= number_at(person, 'revoked_through') then return true end
  local it = beginning_of(session)
  it.stamp = stamp
  for _, cut in pairs(cuts_of(person)) do
    if (cut.offline or not offline) and covers(cut, it) then return true end
  end
  return false
end

-- Whether a session, given as fields, of the person with this key is honoured.
local function session_is_active(person, session, now)
  if not session.stamp or session.ended_at_ms then return false end
  if tonumber(session.expires_at_ms) <= now then return false end
  return not is_cut_off(person, session, tonumber(session.stamp), false)
end

-- Whether a refresh token is. An offline one outlives its session's end by expiry or by the identity provider's logout
-- token, never a revocation or its session's deletion.
local function token_is_active(person, session, token, now)
  if not token.stamp or token.ended_at_ms or token.rotated_at_ms then return false end
  if tonumber(token.expires_at_ms) <= now then return false end
  if token.offline ~= '1' then return session_is_active(person, session, now) end
  return session.ends_offline ~= '1' and not is_cut_off(person, session, tonumber(token.stamp), true)
end

-- End a family of refresh tokens (RFC 9700 section 4.14.2), unless it was ended before: what lives of it is deleted, what was
-- rotated is dead already. `keys`: the person, the session, the session's tokens, the family, the family's tokens.
local function end_family(keys, ended_by, now)
  local person, session = keys[1], fields_of(keys[2])
  local tokens, family, family_tokens = unpack(keys, 3)
  -- Forgotten: a record made anew would live for ever.
  if redis.call('EXISTS', family) == 0 or redis.call('HSETNX', family, 'ended_by', ended_by) == 0 then return 0 end
  local live = 0
  for _, hash in ipairs(redis.call('SMEMBERS', family_tokens)) do
    local key = person .. ':token:' .. hash
    local token = fields_of(key)
    if token_is_active(person, session, token, now) then live = live + 1 end
    -- At the beginning of time nothing has expired: clocks go back. What a revocation has cut off is left to that one, which
    -- counts it when it is tidied up.
    if token_is_active(person, session, token, 0) then
      redis.call('DEL', key)
      redis.call('SREM', tokens, hash)
      redis.call('SREM', family_tokens, hash)
    end
  end
  redis.call('HSET', family, 'ended_at_ms', whole(now), 'live_tokens', live)
  return 1
end
