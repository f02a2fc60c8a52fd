"""Sends calls over an asynchronous client, as `core.calls` says."""

from __future__ import annotations

import httpx

from config_client.connection import Connection, answer_of, failure_of, headers_of
from config_client.core.calls import Attempt, Failure, call
from config_client.core.requests import Answer, Request


class AsyncService:
    """See the module's opening. Several addresses are tried one after the other, the one that worked last first."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._http = httpx.AsyncClient(**connection.http_options(read=connection.answer_within))
        self._preferred = 0

    async def aclose(self) -> None:
        """End all connections."""
        await self._http.aclose()

    async def send(self, request: Request) -> Answer:
        """Send a request. Raises what stands for an error."""
        urls = self._connection.urls
        first = self._preferred
        running = call(request, [*urls[first:], *urls[:first]], self._connection.read_token)
        attempt = next(running)
        try:
            while True:
                attempt = running.send(await self._try(attempt))
        except StopIteration as end:
            answer: Answer = end.value
        self._preferred = urls.index(attempt.url)
        return answer.checked(request)

    async def _try(self, attempt: Attempt) -> Answer | Failure:
        request = attempt.request
        try:
            response = await self._http.request(
                request.method, attempt.url + request.target, headers=headers_of(attempt), content=request.body
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return failure_of(error)
        return answer_of(response)
