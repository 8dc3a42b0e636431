-- End what a person began no later than a moment of the identity provider's clock: all of it, or the sessions of one of its
-- own sessions. O(1), atomic, and no further than what has begun so far.
-- KEYS  person, logouts, logout-cutoffs, ended-sids, revocations
-- ARGV  revocation_id, now_ms, accepted_at_ms, late ('1' when a crash came between record and cut-off), forget_before_ms,
--       begun_by_ms, upstream sid or '', or_without_sid ('1'), offline too ('1'), forget_sids_before_ms, prompt ('1'),
--       arrived_ms of one that was kept or ''
-- Returns 1 | 0 when this revocation had cut off before
local person, logouts, cutoffs, ended_sids, revocations = unpack(KEYS)
local id, now, accepted_at, late = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local begun_by, sid = tonumber(ARGV[6]), ARGV[7] ~= '' and ARGV[7] or nil
-- The same again must not end what began since, also once the first has been tidied up after.
if redis.call('ZSCORE', cutoffs, id) then return 0 end
local clock = number_at(person, 'clock')
local through = late and accepted_at or math.max(now, clock + 1)
local cut = {through = through, begun_by_ms = begun_by, sid = sid, at_ms = late and accepted_at or now}
cut.or_without_sid, cut.offline, cut.prompt = ARGV[8] == '1', ARGV[9] == '1', ARGV[11] == '1'
cut.arrived_ms = tonumber(ARGV[12])
redis.call('HSET', logouts, id, cjson.encode(cut))
redis.call('ZADD', cutoffs, whole(through), id)
redis.call('ZADD', revocations, whole(accepted_at), id)
redis.call('HSET', person, 'clock', whole(math.max(clock, through)))
-- And what a sign-in that had begun by then is refused by, should it only be reported now.
if sid then
  redis.call('ZADD', ended_sids, 'GT', ARGV[6], sid)
  redis.call('ZREMRANGEBYSCORE', ended_sids, '-inf', '(' .. ARGV[10])
  redis.call('PEXPIRE', ended_sids, whole(now - tonumber(ARGV[10])))
end
local refused = not sid and 'logged_out_through_ms' or cut.or_without_sid and 'logged_out_without_sid_ms'
if refused then redis.call('HSET', person, refused, whole(math.max(begun_by, number_at(person, refused)))) end
redis.call('ZREMRANGEBYSCORE', cutoffs, '-inf', '(' .. ARGV[5])
redis.call('ZREMRANGEBYSCORE', revocations, '-inf', '(' .. ARGV[5])
return 1
