-- Part of the verbs of records: runs one on each record of a call, whose arguments are `size` of ARGV from the second on.
-- An error is told in its record's place: others may have been written. Only that this is no master is the whole call's:
-- it is so for all of them, before any write, and the client then looks for the master.
local function each(size, verb)
  local out = {}
  for a = 2, #ARGV, size do
    local fine, answer = pcall(verb, a)
    if not fine then
      answer = {err = type(answer) == 'table' and answer.err or tostring(answer)}
      if answer.err:find('^READONLY') then error(answer) end
    end
    out[#out+1] = answer
  end
  return out
end
