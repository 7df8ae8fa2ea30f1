-- include: ledger
-- ARGV: key epoch
-- returns how many items the buried turn had
drain()
local d = P..'d:'..ARGV[2]..':'..ARGV[3]
local n = C('LLEN', d)
C('DEL', d); C('ZREM', P..'dead', ARGV[2]..':'..ARGV[3])
return math.max(0, n - 1)
