-- Every application that may hold a session because of what a revocation covers of one person.
-- KEYS  participation, cutoffs, logouts
-- ARGV  revocation_id, now_ms, session_id ('' for every session)
-- Returns '' when the cut-off has not happened | json {{client_id, sid, sub, holds_others}, …}; `holds_others`: it knows the
--         person by the same `sub` in a session that is not covered
local participation, cutoffs, logouts = unpack(KEYS)
local id, now, only = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local through = tonumber(redis.call('ZSCORE', cutoffs, id) or false)
local raw_cut = redis.call('HGET', logouts, id)
local cut = raw_cut and cjson.decode(raw_cut)
if only == '' and not through and not cut then return '' end

local function meant(entry)
  if only ~= '' then return entry.session_id == only end
  if through then return entry.stamp <= through end
  -- Told before, and left on the list for the sake of an offline token that this one does not end.
  if entry.offline_only and not cut.offline then return nil end
  return covers(cut, entry)
end

local targets, others = {}, {}
for field, raw in pairs(fields_of(participation)) do
  local entry, name = cjson.decode(raw), cjson.decode(field)
  if entry.until_ms > now then
    local is_meant = meant(entry)
    if is_meant then
      table.insert(targets, {client_id = name[1], sid = name[2], sub = entry.sub})
    elseif is_meant == false then
      others[cjson.encode({name[1], entry.sub})] = true
    end
  end
end
for _, each in ipairs(targets) do each.holds_others = others[cjson.encode({each.client_id, each.sub})] or false end
return cjson.encode(targets)
