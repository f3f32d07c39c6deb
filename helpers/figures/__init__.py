"""One function a figure, from records and arrays."""

from helpers.figures.batchnorm import accuracy_by_half as accuracy_by_half
from helpers.figures.batchnorm import accuracy_by_rate as accuracy_by_rate
from helpers.figures.batchnorm import active_channels as active_channels
from helpers.figures.batchnorm import examination as examination
from helpers.figures.batchnorm import interventions as interventions
from helpers.figures.batchnorm import lag_or_swing as lag_or_swing
from helpers.figures.batchnorm import statistics_gap as statistics_gap
from helpers.figures.batchnorm import weight_drift as weight_drift
from helpers.figures.curves import learning_curves as learning_curves
from helpers.figures.curves import time_to_accuracy as time_to_accuracy
from helpers.figures.diagrams import network_layout as network_layout
from helpers.figures.images import augmentation_sheet as augmentation_sheet
from helpers.figures.images import confident_errors as confident_errors
from helpers.figures.images import contact_sheet as contact_sheet
from helpers.figures.images import network_view as network_view
from helpers.figures.results import by_learning_rate as by_learning_rate
from helpers.figures.results import changed_confusions as changed_confusions
from helpers.figures.results import confusion as confusion
from helpers.figures.results import error_intervals as error_intervals
from helpers.figures.results import gains as gains
from helpers.figures.results import gains_by_seed as gains_by_seed
from helpers.figures.results import largest_confusions as largest_confusions
from helpers.figures.results import paired_outcomes as paired_outcomes
from helpers.figures.results import per_class_accuracy as per_class_accuracy
from helpers.figures.results import reliability as reliability
from helpers.figures.style import display as display
