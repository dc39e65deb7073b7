"""Searches as this API answered them: what was asked, and how much there was.

Shoppers' own `search` events say what they typed; only the answer says that nothing was found.
"""

import re
from datetime import datetime
from uuid import uuid4

from stack.infra.event_stream import ANSWERED_SEARCH, Row, moment

# In the answer's own text a quotation mark is escaped, so this is the field and nothing else.
_TOTAL = re.compile(rb'"total":(\d+)')


def answered_search(text: str, answer: bytes, at: datetime) -> Row:
    """The event of one answered search. `answer` is the JSON that was sent, with a `total`.

    Cached answers are bytes already; reading one number out of them is cheaper than parsing them.
    """
    total = _TOTAL.search(answer)
    assert total is not None
    return {
        "id": str(uuid4()),
        "at": moment(at),
        "kind": ANSWERED_SEARCH,
        "session": "",
        "user": "",
        "product": "",
        "query": text,
        "seconds": 0.0,
        "results": int(total[1]),
    }
