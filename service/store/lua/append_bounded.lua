-- Append an entry that many may cause, unless there were too many: then count it, and tell the number once there is room.
-- KEYS  trail, bounds
-- ARGV  most of one kind in a minute, most of all kinds in an hour, …
--       (kind, entry as json, json of the entry that tells the number; without these it only tells what was counted)
-- Returns 1 when it was appended | 0 when it was counted
local trail, bounds = unpack(KEYS)
local per_minute, per_hour = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local minute, hour = math.floor(now_ms / 60000), math.floor(now_ms / 3600000)
-- No kind has this name.
local TOTAL = 'total'

local function read(name, since)
  local raw = redis.call('HGET', bounds, name)
  local known = raw and cjson.decode(raw) or {}
  if known.since ~= since then known.since, known.count = since, 0 end
  return known
end

local total = read(TOTAL, hour)

local function append(entry)
  redis.call('XADD', trail, '*', 'entry', entry)
  total.count = total.count + 1
end

local function tell(kind)
  if (kind.omitted or 0) == 0 or total.count >= per_hour then return end
  local entry = cjson.decode(kind.telling)
  entry.count, entry.since_ms = kind.omitted, kind.omitted_since_ms
  append(cjson.encode(entry))
  kind.omitted = 0
end

local function keep(name, kind)
  if name ~= TOTAL and (kind.omitted or 0) == 0 and kind.since < minute then
    redis.call('HDEL', bounds, name)
  else
    redis.call('HSET', bounds, name, cjson.encode(kind))
  end
end

local written = 0
if ARGV[3] then
  local kind = read(ARGV[3], minute)
  if kind.count == 0 then tell(kind) end
  if kind.count < per_minute and total.count < per_hour then
    append(ARGV[4])
    kind.count, written = kind.count + 1, 1
  else
    if (kind.omitted or 0) == 0 then kind.omitted, kind.omitted_since_ms = 0, now_ms end
    kind.omitted, kind.telling = kind.omitted + 1, ARGV[5]
  end
  keep(ARGV[3], kind)
else
  for _, name in ipairs(redis.call('HKEYS', bounds)) do
    if name ~= TOTAL then
      local kind = cjson.decode(redis.call('HGET', bounds, name))
      if kind.since < minute then tell(kind) end
      keep(name, kind)
    end
  end
end
keep(TOTAL, total)
redis.call('PEXPIRE', bounds, 86400000)
return written
