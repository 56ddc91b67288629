"""Every picture the package draws.

Each function returns a new matplotlib figure, made through pyplot and still open: save it with
`figure.savefig(path)`, show all open ones with `plt.show()`, drop it with `plt.close(figure)`.
Arguments are checked before the figure is made, so a refused call leaves none behind. matplotlib
is imported by the first call, not with the package, and its settings stay as they are.

`suptitle`, which every function takes, stands over the whole picture: the place to say which data
or model it shows. All texts are drawn letter by letter, "$" and "_" too.

    charts.py, grids.py      curves, confusion; images under titles
    operations.py            one layer at work: convolution, pooling, activation
    volumes.py               several filters make a volume
    networks.py, fields.py   filters and feature maps of a model; what one of its cells sees
    animation.py             films of them, but for filters and feature maps
    sheet.py                 grids of numbers, which those are drawn with

Limits, beyond which a picture would take minutes to draw, or gigabytes: 2,500 cells of a grid, 200
classes of a heatmap, 100 metrics, 1,000 letters a text; a width of 0.1 (a heatmap: 2) to 100
inches, and 10,000 square inches.
"""

from minicnn.plotting.animation import animate
from minicnn.plotting.charts import confusion_heatmap, learning_rate_range, training_curves
from minicnn.plotting.fields import receptive_field
from minicnn.plotting.grids import augmentation_grid, image_grid, prediction_grid
from minicnn.plotting.networks import activations, filters
from minicnn.plotting.operations import draw_activation, draw_convolution, draw_pooling
from minicnn.plotting.volumes import draw_volume

__all__ = [
    "activations",
    "animate",
    "augmentation_grid",
    "confusion_heatmap",
    "draw_activation",
    "draw_convolution",
    "draw_pooling",
    "draw_volume",
    "filters",
    "image_grid",
    "learning_rate_range",
    "prediction_grid",
    "receptive_field",
    "training_curves",
]
