"""CapCut, by the third-party services that write its drafts: VectCut (local and cloud) and capcut-mate.

CapCut itself publishes no API. https://github.com/sun-guannan/VectCutAPI https://github.com/Hommy-master/capcut-mate
"""

from sandbox.capcut.platform import stand_in

__all__ = ["stand_in"]
