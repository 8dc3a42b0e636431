-- The one step that makes a revocation true: O(1), atomic. Everything the person holds up to now is dead after it.
-- KEYS  person, cutoffs, revocations
-- ARGV  revocation_id, now_ms, accepted_at_ms, late ('1' when a crash came between record and cut-off), forget_before_ms
-- Returns 1 | 0 when this revocation had cut off before
local person, cutoffs, revocations = unpack(KEYS)
local id, now, accepted_at, late = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local revoked_at = number_at(person, 'revoked_at_ms')
-- The same revocation again must not end what began since.
if redis.call('ZSCORE', cutoffs, id) then return 0 end
local clock = number_at(person, 'clock')
-- In the ordinary case every stamp given out so far is covered, whatever this machine's clock says, and the cut-off takes a
-- stamp of its own: of two in one millisecond the first counts what both cover. A revocation that is completed late covers
-- what had begun when it was recorded, and no later sign-in.
local through = late and accepted_at or math.max(now, clock + 1)
local at = late and accepted_at or now
redis.call('ZADD', cutoffs, whole(through), id)
redis.call('ZADD', revocations, whole(accepted_at), id)
redis.call('HSET', person,
  'revoked_through', whole(math.max(through, number_at(person, 'revoked_through'))),
  'clock', whole(math.max(clock, through)),
  'revoked_at_ms', whole(math.max(revoked_at, at)))
redis.call('ZREMRANGEBYSCORE', cutoffs, '-inf', '(' .. ARGV[5])
redis.call('ZREMRANGEBYSCORE', revocations, '-inf', '(' .. ARGV[5])
return 1
