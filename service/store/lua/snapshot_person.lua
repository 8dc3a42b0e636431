-- What a revocation covers of one person, read before anything is deleted: its sessions, their tokens, and every
-- application that may hold a session because of them.
-- KEYS  person, sessions, participation, cutoffs
-- ARGV  revocation_id, now_ms, session_id ('' for every session)
-- Returns '' when the cut-off has not happened | json {sessions = {{id, active, tokens = {hash, …}, live_tokens}, …},
--         targets = {{client_id, sid, sub}, …}}
local person, sessions, participation, cutoffs = unpack(KEYS)
local id, now, only = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local through = tonumber(redis.call('ZSCORE', cutoffs, id) or false)
if only == '' and not through then return '' end

-- Each session is counted by one revocation: the one that ended it, or the earliest cut at or after its stamp.
local function belongs(session)
  if session.ended_by then return session.ended_by == id end
  if only ~= '' or tonumber(session.stamp) > through then return false end
  return redis.call('ZRANGEBYSCORE', cutoffs, session.stamp, '+inf', 'LIMIT', 0, 1)[1] == id
end

local found = {}
for _, session_id in ipairs(only ~= '' and {only} or redis.call('ZRANGE', sessions, 0, -1)) do
  local key = person .. ':session:' .. session_id
  local session = fields_of(key)
  if session.stamp and belongs(session) then
    local tokens, live = redis.call('SMEMBERS', key .. ':tokens'), 0
    for _, hash in ipairs(tokens) do
      local token = redis.call('HMGET', person .. ':token:' .. hash, 'stamp', 'expires_at_ms', 'ended_at_ms', 'offline')
      local outlived = token[4] ~= '1' and tonumber(session.expires_at_ms) <= now
      if token[1] and not token[3] and tonumber(token[2]) > now and not outlived then live = live + 1 end
    end
    local active = tonumber(session.expires_at_ms) > now and (not session.ended_at_ms or session.ended_by == id)
    table.insert(found, {id = session_id, active = active, tokens = tokens, live_tokens = live})
  end
end

local targets = {}
for field, raw in pairs(fields_of(participation)) do
  local entry, name = cjson.decode(raw), cjson.decode(field)
  local meant = only ~= '' and entry.session_id == only or only == '' and entry.stamp <= through
  if meant and entry.until_ms > now then table.insert(targets, {client_id = name[1], sid = name[2], sub = entry.sub}) end
end
return cjson.encode({sessions = found, targets = targets})
