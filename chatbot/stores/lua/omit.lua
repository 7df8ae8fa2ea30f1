-- include: ledger
-- ARGV: subject, then the ids of entries of its history (see remember)
-- returns how many were in it
drain()
local l, wanted, n = P..'h:'..ARGV[2], {}, 0
for a = 3, #ARGV do wanted[ARGV[a]] = true end
for _, e in ipairs(C('LRANGE', l, 0, -1)) do
  if wanted[e:match('^[^\n]*')] then n = n + C('LREM', l, 1, e) end
end
return n
