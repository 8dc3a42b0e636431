-- Take it upon one attempt to find out whether an application is back.
-- KEYS  health
-- ARGV  attempt, now_ms, probing_until_ms
-- Returns 1 | 0 when its breaker is not half open, it has asked to be left alone, or another probe is under way
local health = KEYS[1]
local known, now = fields_of(health), tonumber(ARGV[2])
if known.paused_at_ms or not known.opened_at_ms then return 0 end
if now < (tonumber(known.rest_until_ms or false) or 0) then return 0 end
if known.probe == ARGV[1] and tonumber(known.probing_until_ms) > now then return 1 end
if now < (tonumber(known.next_probe_at_ms) or 0) or now < (tonumber(known.probing_until_ms or false) or 0) then return 0 end
redis.call('HSET', health, 'probe', ARGV[1], 'probing_until_ms', ARGV[3])
return 1
