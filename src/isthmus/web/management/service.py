"""The management API: what stands behind `/api/` on the web port.

It finds who handles a request and turns what comes of it into an answer. Whether somebody may ask was judged before.

Spec: RabbitMQ 4.3 HTTP API reference; docs/management.md lists what of it is served.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from isthmus.broker.access import Session
from isthmus.broker.broker import Broker
from isthmus.errors import IsthmusError
from isthmus.limits import MANAGEMENT_RUNNING_MAX
from isthmus.protocols.amqp.errors import Refused
from isthmus.protocols.amqp.handlers.link import ROOT as ROOT_VHOST
from isthmus.protocols.amqp.handlers.link import AmqpOptions, Shared
from isthmus.protocols.amqp.handlers.replies import Replies
from isthmus.protocols.http.messages import Request, Response
from isthmus.web.management import cluster, connected, definitions, governed, messages, objects, people
from isthmus.web.management.answers import Failure, bad_request, failure_of, refusal
from isthmus.web.management.call import Api, Call, Handler, namespace_of
from isthmus.web.management.desk import failure_of as failure_of_refused
from isthmus.web.management.routes import Routes, query_of

TABLE: Final[dict[tuple[str, str], Handler]] = {
    ("GET", "overview"): cluster.overview,
    ("GET", "whoami"): people.whoami,
    ("GET", "auth"): cluster.sign_in,
    ("GET", "nodes"): cluster.nodes,
    ("GET", "nodes/{name}"): cluster.node,
    ("GET", "cluster-name"): cluster.cluster_name,
    ("GET", "extensions"): cluster.extensions,
    ("GET", "vhosts"): cluster.vhosts,
    ("GET", "vhosts/{vhost}"): cluster.vhost,
    ("PUT", "vhosts/{vhost}"): cluster.put_vhost,
    ("DELETE", "vhosts/{vhost}"): cluster.remove_vhost,
    ("GET", "vhosts/{vhost}/permissions"): people.vhost_permissions,
    ("GET", "vhosts/{vhost}/connections"): connected.vhost_connections,
    ("GET", "vhosts/{vhost}/channels"): connected.vhost_channels,
    ("GET", "users"): people.users,
    ("GET", "users/without-permissions"): people.users_without,
    ("POST", "users/bulk-delete"): people.remove_users,
    ("GET", "users/{user}"): people.user,
    ("PUT", "users/{user}"): people.put_user,
    ("DELETE", "users/{user}"): people.remove_user,
    ("GET", "users/{user}/permissions"): people.user_permissions,
    ("GET", "permissions"): people.permissions,
    ("GET", "permissions/{vhost}/{user}"): people.permission,
    ("PUT", "permissions/{vhost}/{user}"): people.put_permission,
    ("DELETE", "permissions/{vhost}/{user}"): people.remove_permission,
    ("GET", "exchanges"): objects.exchanges,
    ("GET", "exchanges/{vhost}"): objects.vhost_exchanges,
    ("GET", "exchanges/{vhost}/{name}"): objects.exchange,
    ("PUT", "exchanges/{vhost}/{name}"): objects.put_exchange,
    ("DELETE", "exchanges/{vhost}/{name}"): objects.remove_exchange,
    ("GET", "exchanges/{vhost}/{name}/bindings/source"): objects.bindings_from,
    ("GET", "exchanges/{vhost}/{name}/bindings/destination"): objects.bindings_to,
    ("POST", "exchanges/{vhost}/{name}/publish"): messages.publish,
    ("GET", "queues"): objects.queues,
    ("GET", "queues/{vhost}"): objects.vhost_queues,
    ("GET", "queues/{vhost}/{name}"): objects.queue,
    ("PUT", "queues/{vhost}/{name}"): objects.put_queue,
    ("DELETE", "queues/{vhost}/{name}"): objects.remove_queue,
    ("GET", "queues/{vhost}/{name}/bindings"): objects.queue_bindings,
    ("DELETE", "queues/{vhost}/{name}/contents"): objects.purge,
    ("POST", "queues/{vhost}/{name}/get"): messages.get,
    ("GET", "bindings"): objects.bindings,
    ("GET", "bindings/{vhost}"): objects.vhost_bindings,
    ("GET", "bindings/{vhost}/e/{source}/{kind}/{destination}"): objects.bindings_between,
    ("POST", "bindings/{vhost}/e/{source}/{kind}/{destination}"): objects.put_binding,
    ("GET", "bindings/{vhost}/e/{source}/{kind}/{destination}/{key}"): objects.binding,
    ("DELETE", "bindings/{vhost}/e/{source}/{kind}/{destination}/{key}"): objects.remove_binding,
    ("GET", "connections"): connected.connections,
    ("GET", "connections/username/{user}"): connected.user_connections,
    ("DELETE", "connections/username/{user}"): connected.close_user_connections,
    ("GET", "connections/{name}"): connected.connection,
    ("DELETE", "connections/{name}"): connected.close_connection,
    ("GET", "connections/{name}/channels"): connected.connection_channels,
    ("GET", "channels"): connected.channels,
    ("GET", "channels/{name}"): connected.channel,
    ("GET", "consumers"): connected.consumers,
    ("GET", "consumers/{vhost}"): connected.vhost_consumers,
    ("GET", "policies"): governed.policies,
    ("GET", "policies/{vhost}"): governed.vhost_policies,
    ("GET", "policies/{vhost}/{name}"): governed.policy,
    ("PUT", "policies/{vhost}/{name}"): governed.put_policy,
    ("DELETE", "policies/{vhost}/{name}"): governed.remove_policy,
    ("GET", "definitions"): definitions.export,
    ("POST", "definitions"): definitions.load,
    ("PUT", "definitions"): definitions.load,
    ("GET", "definitions/{vhost}"): definitions.export_vhost,
    ("POST", "definitions/{vhost}"): definitions.load_vhost,
    ("PUT", "definitions/{vhost}"): definitions.load_vhost,
    ("GET", "aliveness-test/{vhost}"): cluster.aliveness,
    ("GET", "healthchecks/node"): cluster.healthy,
    ("GET", "health/checks/alarms"): cluster.healthy,
    ("GET", "health/checks/local-alarms"): cluster.healthy,
    ("GET", "health/checks/virtual-hosts"): cluster.healthy,
    ("GET", "health/checks/is-in-service"): cluster.healthy,
    ("GET", "health/checks/node-is-quorum-critical"): cluster.quorum_critical,
    ("GET", "health/checks/port-listener/{port}"): cluster.port_listener,
    ("GET", "health/checks/protocol-listener/{protocol}"): cluster.protocol_listener,
    ("GET", "parameters"): cluster.nothing,
    ("GET", "parameters/{component}"): cluster.nothing,
    ("GET", "parameters/{component}/{vhost}"): cluster.nothing,
    ("GET", "global-parameters"): cluster.nothing,
    ("GET", "operator-policies"): cluster.nothing,
    ("GET", "operator-policies/{vhost}"): cluster.nothing,
    ("GET", "topic-permissions"): cluster.nothing,
    ("GET", "users/{user}/topic-permissions"): cluster.nothing,
    ("GET", "vhosts/{vhost}/topic-permissions"): cluster.nothing,
    ("GET", "vhost-limits"): cluster.nothing,
    ("GET", "vhost-limits/{vhost}"): cluster.nothing,
    ("GET", "user-limits"): cluster.nothing,
    ("GET", "user-limits/{user}"): cluster.nothing,
    ("GET", "feature-flags"): cluster.nothing,
    ("GET", "deprecated-features"): cluster.nothing,
    ("GET", "deprecated-features/used"): cluster.nothing,
}
"""All that is served, by method and path below `/api/`."""

ROUTES: Final = Routes(TABLE)


class Management:
    """See the module text.

    Args:
        broker: open.
        version: of the library.
        options: what AMQP's door says that it is.
        listeners: protocol, address and port of all that listens.
    """

    def __init__(
        self,
        broker: Broker,
        version: str,
        options: AmqpOptions | None = None,
        listeners: Callable[[], list[tuple[str, str, int]]] = list,
    ) -> None:
        chosen = options or AmqpOptions()
        shared = Shared(broker=broker, options=chosen, replies=Replies(), exclusive={})
        self._api = Api(broker=broker, version=version, options=chosen, shared=shared, listeners=listeners)
        self.running = 0
        """Requests that are being answered."""

    async def answer(self, request: Request, session: Session) -> Response:
        """The answer to a request of somebody whose session this is."""
        if self.running >= MANAGEMENT_RUNNING_MAX:
            busy = Failure(503, "service_unavailable", "others are being answered; come again")
            return refusal(busy, (("Retry-After", "1"),))
        self.running += 1
        try:
            return await self._answer(request, session)
        except Failure as failure:
            return refusal(failure)
        except Refused as refused:
            return refusal(failure_of_refused(refused))
        except IsthmusError as error:
            return refusal(failure_of(error))
        finally:
            self.running -= 1

    async def _answer(self, request: Request, session: Session) -> Response:
        handler, given = ROUTES.find(request.method, request.path)
        call = Call(
            api=self._api, session=session, given=given, query=query_of(request.query), body=_object(request.body)
        )
        # A connection has one session and one request at a time.
        session.namespace = namespace_of(given.get("vhost", ROOT_VHOST))
        return await handler(call)


def _object(body: bytes) -> dict[str, Any]:
    """The object that was sent; an empty one when nothing was. Raises Failure."""
    if not body:
        return {}
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_request("not_json") from error
    if not isinstance(found, dict):
        raise bad_request("an object is wanted")
    return found
