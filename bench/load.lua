-- What wrk asks for, and what it tells in the end: wrk -s load.lua URL -- [PACE [FILE]]
--   PACE: milliseconds that a connection waits before each request, 0 for none.
--   FILE: requests that are sent in turn, one a line: method, path and body, separated by tabs. Without one, the URL is
--         asked for over and over, by a request that is made once.

function init(args)
   local pace = tonumber(args[1] or "0")
   if pace > 0 then
      function delay() return pace end
   end
   if args[2] then
      local lines, at = {}, 0
      for line in io.lines(args[2]) do
         local method, path, body = line:match("^([^\t]*)\t([^\t]*)\t(.*)$")
         if body == "" then body = nil end
         lines[#lines + 1] = wrk.format(method, path, { ["Content-Type"] = "application/json" }, body)
      end
      function request()
         at = at % #lines + 1
         return lines[at]
      end
   end
end

function done(summary, latency)
   io.write(string.format(
      "figures: %f requests/s p50 %d us p99 %d us p99.9 %d us\n",
      summary.requests / summary.duration * 1e6,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9)
   ))
end
