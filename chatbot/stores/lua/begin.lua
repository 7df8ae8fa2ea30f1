-- include: ledger window
-- ARGV: key epoch owner lease mailbox stamp redelivered(0, or the grace in ms: the broker itself redelivered this copy)
-- returns {new|mine|taken, fails, lost, entries} {busy, ms} {done, value} {buried, reason} {stale}
drain()
local key, epoch, owner, lease, mailbox, stamp, grace = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local h, k, m = load(key), P..'k:'..key, P..'m'
if stamp > (tonumber(C('HGET', m, mailbox..':mark')) or 0) then C('HSET', m, mailbox..':mark', stamp) end
C('HSET', m, mailbox..':last', now); C('PEXPIRE', m, OPEN)
if h.size == 0 or h.epoch ~= tonumber(epoch) then
  local how, value = (C('GET', P..'r:'..key..':'..epoch) or ''):match('^(%a+)\n[^\n]*\n(.*)$')
  return how and {how == 'ok' and 'done' or 'buried', value} or {'stale'}
end
local verdict = 'new'
if h.owner == owner then verdict = 'mine'
elseif h.owner ~= '' and h.lease > now then
  local at = h.beat + grace
  if grace > 0 then C('HSET', k, 'suspect', at); look(key, math.min(h.lease, at)); keep(key) end
  return {'busy', h.lease - now}
elseif h.hold > now then return {'busy', h.hold - now}
elseif h.owner ~= '' then verdict, h.lost = 'taken', h.lost + 1 end
C('HSET', k, 'owner', owner, 'lease', now + lease, 'beat', now, 'suspect', 0, 'lost', h.lost, 'pub', 0, 'pubs', 0)
C('ZADD', KEYS[1], now + lease, key); keep(key)
return {verdict, h.fails, h.lost, C('LRANGE', P..'l:'..key, 0, h.size - 1)}
