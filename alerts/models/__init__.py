from alerts.models.alerts import Alert, SourceLock
from alerts.models.deliveries import Delivery, DeliveryMove, SummaryEntry
from alerts.models.subscriptions import Subscription

__all__ = ["Alert", "Delivery", "DeliveryMove", "SourceLock", "Subscription", "SummaryEntry"]
