-- Every application that may hold a session because of what a revocation covers of one person.
-- KEYS  participation, cutoffs
-- ARGV  revocation_id, now_ms, session_id ('' for every session)
-- Returns '' when the cut-off has not happened | json {{client_id, sid, sub}, …}
local participation, cutoffs = KEYS[1], KEYS[2]
local now, only = tonumber(ARGV[2]), ARGV[3]
local through = tonumber(redis.call('ZSCORE', cutoffs, ARGV[1]) or false)
if only == '' and not through then return '' end
local targets = {}
for field, raw in pairs(fields_of(participation)) do
  local entry, name = cjson.decode(raw), cjson.decode(field)
  local meant = only ~= '' and entry.session_id == only or only == '' and entry.stamp <= through
  if meant and entry.until_ms > now then table.insert(targets, {client_id = name[1], sid = name[2], sub = entry.sub}) end
end
return cjson.encode(targets)
