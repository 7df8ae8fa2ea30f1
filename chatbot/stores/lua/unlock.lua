-- include: ledger window
-- ARGV: key epoch owner, as the operator read them
-- returns {unlocked} or {refused, epoch, owner}
drain()
local key, epoch, owner = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local h = load(key)
if h.size == 0 or h.epoch ~= epoch or h.owner ~= owner then return {'refused', str(h.epoch), h.owner} end
C('HSET', P..'k:'..key, 'owner', '', 'lease', 0, 'suspect', 0, 'hold', 0, 'pub', 0, 'lost', h.lost + (owner ~= '' and 1 or 0))
look(key, now); keep(key)
return {'unlocked'}
