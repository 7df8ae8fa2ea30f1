-- include: ledger
-- ARGV: most ttl, how many notes, the lines to find them by, the packed {subject, names, age, data} of each
-- One entry of the stream holds all of a call: its id counts the notes until then, so that the oldest can be trimmed by
-- their number. A full store refuses the whole call.
local j, most, ttl = P..'j', tonumber(ARGV[2]), tonumber(ARGV[3])
local total = C('HINCRBY', P..'m', 'notes', ARGV[4])
C('XADD', j, str(total)..'-1', 't', str(now), 'x', str(now + ttl), 'n', ARGV[5], 'd', ARGV[6])
C('XTRIM', j, 'MINID', str(math.max(0, total - most)))
-- A look at the oldest brings all of it, so it is taken now and then; nobody is shown what has expired.
for _ = 1, total % 1000 < tonumber(ARGV[4]) and 1000 or 0 do
  local e = C('XRANGE', j, '-', '+', 'COUNT', 1)[1]
  if not e or tonumber(e[2][4]) > now then break end
  C('XDEL', j, e[1])
end
C('PEXPIRE', j, ttl); C('PEXPIRE', P..'m', OPEN)
return 1
