-- include: ledger
-- ARGV: cursor (the id after which to go on; empty: begin) count back (notes before the end, to begin with)
-- returns {next cursor, {ms, subject, data}...}, oldest first; reads only
local j, cursor, count, back, found = P..'j', ARGV[2], ARGV[3], tonumber(ARGV[4]), {}
if cursor == '' then
  -- An id counts the notes until then.
  cursor = str(math.max(0, (tonumber(C('HGET', P..'m', 'notes')) or 0) - back))..'-1'
end
for _, e in ipairs(C('XRANGE', j, '('..cursor, '+', 'COUNT', count)) do
  cursor = e[1]
  if tonumber(e[2][4]) > now then
    for _, note in ipairs({cmsgpack.unpack(e[2][8])}) do
      found[#found+1] = {str(e[2][2] - note[3]), note[1], note[4]}
    end
  end
end
return {cursor, found}
