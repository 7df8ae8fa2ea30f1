-- include: ledger
-- ARGV: subject entry_id entry most ttl. The history of a subject: a list of id + line end + entry.
-- A repeated attempt replaces what the one before it left, which is always near the end.
drain()
local l, id, entry, most = P..'h:'..ARGV[2], ARGV[3]..'\n', ARGV[4], tonumber(ARGV[5])
for i, e in ipairs(C('LRANGE', l, 0, -1)) do
  if e:sub(1, #id) == id then C('LSET', l, i - 1, id..entry); C('PEXPIRE', l, ARGV[6]); return 0 end
end
C('RPUSH', l, id..entry); C('LTRIM', l, -most, -1); C('PEXPIRE', l, ARGV[6])
return 1
