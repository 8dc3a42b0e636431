-- What a revocation ended of some sessions, and which refresh tokens with them; read before anything is deleted.
-- KEYS  person, cutoffs
-- ARGV  revocation_id, now_ms, session_id, …
-- Returns json {{id, ended = by this one, active = until then, tokens = {hash, …} that are dead now, live_tokens = until then}, …}
local person, cutoffs = KEYS[1], KEYS[2]
local id, now = ARGV[1], tonumber(ARGV[2])
local cuts = cuts_of(person)

-- Each thing is counted by one revocation: the one noted on its session, or the earliest cut that covers it.
local function ended_by(session, offline)
  local noted = session.ended_by
  if offline then noted = session.offline_ended_by end
  if noted then return noted end
  local first = redis.call('ZRANGEBYSCORE', cutoffs, session.stamp, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local found, found_through = first[1], tonumber(first[2])
  for each, cut in pairs(cuts) do
    if (cut.offline or not offline) and covers(cut, beginning_of(session)) then
      local earlier = not found or cut.through < found_through or (cut.through == found_through and each < found)
      if earlier then found, found_through = each, cut.through end
    end
  end
  return found
end

local found = {}
for i = 3, #ARGV do
  local key = person .. ':session:' .. ARGV[i]
  local session = fields_of(key)
  if session.stamp then
    local ended, offline_ended = ended_by(session, false) == id, ended_by(session, true) == id
    local tokens, live = {}, 0
    if ended or offline_ended then
      for _, hash in ipairs(redis.call('SMEMBERS', key .. ':tokens')) do
        local token = redis.call('HMGET', person .. ':token:' .. hash, 'stamp', 'expires_at_ms', 'ended_at_ms', 'offline')
        local offline = token[4] == '1'
        if (offline and offline_ended) or (not offline and ended) then
          table.insert(tokens, hash)
          local outlived = not offline and tonumber(session.expires_at_ms) <= now
          if token[1] and not token[3] and tonumber(token[2]) > now and not outlived then live = live + 1 end
        end
      end
      local active = ended and tonumber(session.expires_at_ms) > now
        and (not session.ended_at_ms or session.ended_by == id)
      table.insert(found, {id = ARGV[i], ended = ended, offline_ended = offline_ended, active = active, tokens = tokens, live_tokens = live})
    end
  end
end
return cjson.encode(found)
