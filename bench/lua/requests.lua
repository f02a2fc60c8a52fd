-- Sends the requests of a file over and over: one a line, method, path and body separated by tabs.
-- wrk -s requests.lua URL -- FILE

local lines, at = {}, 0

function init(args)
   for line in io.lines(args[1]) do
      local method, path, body = line:match("^([^\t]*)\t([^\t]*)\t(.*)$")
      if body == "" then body = nil end
      lines[#lines + 1] = wrk.format(method, path, { ["Content-Type"] = "application/json" }, body)
   end
end

function request()
   at = at % #lines + 1
   return lines[at]
end
