-- include: ledger
-- ARGV: cursor (the id after which to go on; empty: begin) count subject|name needle erase(0|1)
-- returns {next cursor (empty: this was the last step), {ms, subject, data}...}
local j, cursor, count, by, needle, erase = P..'j', unpack(ARGV, 2, 6)
local line = by == 'subject' and '\n='..needle..'\n' or ':'..needle..':'
local step, found = C('XRANGE', j, cursor == '' and '-' or '('..cursor, '+', 'COUNT', count), {}
for _, e in ipairs(step) do
  local at, ends, lines, packed = e[2][2], e[2][4], e[2][6], e[2][8]
  if tonumber(ends) > now and lines:find(line, 1, true) then
    local left, kept = {}, {}
    for _, note in ipairs({cmsgpack.unpack(packed)}) do
      local subject, names, age, data = unpack(note)
      if by == 'subject' and subject == needle or by == 'name' and names:find(line, 1, true) then
        found[#found+1] = {str(at - age), subject, data}
      else
        left[#left+1], kept[#kept+1] = '\n='..subject..'\n'..names..'\n', cmsgpack.pack(note)
      end
    end
    if erase == '1' and #kept < 1 then C('XDEL', j, e[1])
    elseif erase == '1' then
      -- What a stream holds cannot be changed; the rest of it moves to the end.
      C('XDEL', j, e[1])
      local id = str(C('HINCRBY', P..'m', 'notes', #kept))..'-1'
      C('XADD', j, id, 't', at, 'x', ends, 'n', table.concat(left), 'd', table.concat(kept))
    end
  end
end
return {#step == tonumber(count) and step[#step][1] or '', found}
