"""
Give each minion its share of the cloud, by its id, and nothing else.

.. code-block:: yaml

    ext_pillar:
      - saltern:
          root: /srv/saltern

A model with faults gives nobody a share: Salt refuses every state run and names the faults.
"""

import salt.utils.sdb
import saltern_store
from saltern import share
from saltern.cloud import ModelError
from saltern.values import functions


def ext_pillar(minion_id, pillar, root, model=None, secrets=None):
    """
    Return ``{"cloud": ...}`` for ``minion_id``.

    minion_id
        Accepted id of the minion; grains play no part.

    pillar
        What pillar_roots gave; not used.

    root
        Directory that holds ``catalog/``, ``schema/`` and ``pillar/cloud.yaml``.

    model
        Path of the model when it is not ``<root>/pillar/cloud.yaml``.

    secrets
        Directory of the secrets when it is not ``secrets/`` beside the model.
    """
    store = saltern_store.Store(root, model, secrets)
    try:
        cloud = store.cloud(lambda uri: salt.utils.sdb.sdb_get(uri, __opts__))
    except ModelError as exc:
        # As Salt itself says it of a pillar that fails, without the traceback that it logs with it.
        return {"_errors": [f"the model has faults: {exc}"]}
    if minion_id in cloud.model["nodes"]:
        return {"cloud": share.share(cloud, minion_id, functions())}
    if minion_id.endswith("_master"):  # the pseudo-minion that orchestrations render on
        return {"cloud": share.conductor_share(cloud)}
    return {"cloud": share.stranger_share()}
